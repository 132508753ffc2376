##@ The synthetic market
.PHONY: market-report bench-market
MARKET_REPORT_ARGS ?=
market-report: ## Three market seeds held to the table of targets, with pictures: .ballpark/market-report.html; exit 1 when a row is outside
	@scripts/venv --dev services/market
	@mkdir -p .ballpark && services/market/.venv/bin/python -m market report --out .ballpark/market-report.html $(MARKET_REPORT_ARGS)

BENCH_MARKET_ARGS ?=
bench-market: ## A million enquiries of 60 insurers to Parquet: wall, CPU, memory (BENCH_MARKET_ARGS="--enquiries 1000000 5000000" for the growth)
	@scripts/venv services/market
	@services/market/.venv/bin/python services/market/bench/generate.py $(BENCH_MARKET_ARGS)
