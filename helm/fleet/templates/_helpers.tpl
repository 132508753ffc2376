{{- /* Helpers only name, label and guard. Each takes a dict that it never changes: root (the chart's context) and component. */ -}}

{{- define "fleet.labels" -}}
{{ include "fleet.selector" . }}
app.kubernetes.io/part-of: ballpark
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end }}

{{- /* What never changes between versions, since a selector must not. */ -}}
{{- define "fleet.selector" -}}
app.kubernetes.io/name: {{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- /* One of the project's images: root and name. */ -}}
{{- define "fleet.image" -}}
{{ .root.Values.images.registry }}/{{ .name }}:{{ .root.Values.images.tag }}
{{- end }}

{{- /* What every pod has: Pod Security "restricted", no token of the API server. */ -}}
{{- define "fleet.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "fleet.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Small jobs before a pod starts or beside it. */ -}}
{{- define "fleet.smallResources" -}}
requests:
  cpu: 100m
  memory: 128Mi
limits:
  memory: 512Mi
{{- end }}

{{- /* Pods of one kind go to different machines where there are any. */ -}}
{{- define "fleet.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels:
      {{- include "fleet.selector" . | nindent 6 }}
{{- end }}

{{- define "fleet.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .component }}
  labels:
    {{- include "fleet.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow  # a pod that is broken anyway must not hold up a drain
  selector:
    matchLabels:
      {{- include "fleet.selector" . | nindent 6 }}
{{- end }}

{{- /* Edges that several pages draw. */ -}}
{{- define "fleet.toDns" -}}
- to:
    - namespaceSelector: {}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}

{{- define "fleet.toStore" -}}
{{- range .root.Values.store.egress }}
- to:
    - ipBlock:
        cidr: {{ .cidr }}
  ports:
    - {port: {{ .port }}, protocol: TCP}
{{- end }}
{{- end }}

{{- define "fleet.toRedis" -}}
- to:
    {{- if .root.Values.redis.bundled }}
    - podSelector:
        matchLabels:
          {{- include "fleet.selector" (dict "root" .root "component" "redis") | nindent 10 }}
    {{- else }}
    - ipBlock:
        cidr: {{ .root.Values.redis.cidr }}
    {{- end }}
  ports:
    - {port: {{ .root.Values.redis.port }}, protocol: TCP}
{{- end }}

{{- define "fleet.redisUrl" -}}
redis://{{ .root.Values.redis.host }}:{{ .root.Values.redis.port }}/0
{{- end }}
