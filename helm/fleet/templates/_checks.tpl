{{- /* What a schema cannot say: how values hang together. Each message names the key. Every page includes it first, since no page may
meet values that do not hang together. Renders nothing. */ -}}
{{- define "fleet.checks" }}
{{- $values := .Values }}
{{- range $track, $release := $values.release }}
{{- if not $release.bundle }}{{ fail (printf "release.%s.bundle: name the bundle to serve" $track) }}{{ end }}
{{- range $name, $model := $values.models }}
{{- if not (hasKey $release.artefacts $name) }}{{ fail (printf "release.%s.artefacts.%s: name the version and sha256 of this model" $track $name) }}{{ end }}
{{- end }}
{{- range $name, $_ := $release.artefacts }}
{{- if not (hasKey $values.models $name) }}{{ fail (printf "release.%s.artefacts.%s: no such model in models (%s)" $track $name (keys $values.models | sortAlpha | join ", ")) }}{{ end }}
{{- end }}
{{- end }}
{{- $branches := list }}
{{- range $name, $model := $values.models }}
{{- $branches = append $branches $model.branch }}
{{- if le (int $model.drain.graceSeconds) (int (add $model.drain.preStopSeconds 5)) }}{{ fail (printf "models.%s.drain.graceSeconds: must be more than preStopSeconds + 5" $name) }}{{ end }}
{{- if lt (int $model.batching.grpcThreads) (int $model.batching.maxBatchSize) }}{{ fail (printf "models.%s.batching.grpcThreads: must be at least maxBatchSize, else a full batch can never gather" $name) }}{{ end }}
{{- end }}
{{- if ne ($branches | sortAlpha | join ",") "classifier,regressor" }}{{ fail "models: branch must be classifier for exactly one model and regressor for exactly one other" }}{{ end }}
{{- with $values.gateway }}
{{- if not .keysSecret }}{{ fail "gateway.keysSecret: name the Secret with keys.json and secret" }}{{ end }}
{{- if le (int .drain.graceSeconds) (int (add .drain.preStopSeconds .drain.noticeSeconds 10)) }}{{ fail "gateway.drain.graceSeconds: must be more than preStopSeconds + noticeSeconds + 10" }}{{ end }}
{{- end }}
{{- if not $values.store.url }}{{ fail "store.url: name the artefact store" }}{{ end }}
{{- if and $values.featureStore.enabled (not $values.featureStore.dataImage) }}{{ fail "featureStore.dataImage: name the image with the tables, or set featureStore.enabled to false" }}{{ end }}
{{- if and $values.redis.bundled (ne $values.redis.host "redis") }}{{ fail "redis.host: the bundled one is called redis" }}{{ end }}
{{- end }}
