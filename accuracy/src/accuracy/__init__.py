"""How close to the market's noise floor are the models, beside two baselines and the oracle?"""

import os

# OpenMP reads this when scikit-learn is first imported. On a machine that does other work too, threads that spin while they wait for each
# other take several times as long as threads that sleep.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
