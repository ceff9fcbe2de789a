{{/* Where everything is. */}}
{{- define "sluice.namespace" -}}
{{ if .Values.namespace.create }}{{ .Values.namespace.name }}{{ else }}{{ .Release.Namespace }}{{ end }}
{{- end }}

{{- define "sluice.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{/* What the Pods of the agent and of the cleanup have in common: they go to the
same nodes, and are the node's. */}}
{{- define "sluice.pod" -}}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 0 }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
priorityClassName: system-node-critical
hostNetwork: true
dnsPolicy: Default
enableServiceLinks: false
securityContext:
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "sluice.securityContext" -}}
runAsUser: 0
runAsGroup: 0
privileged: false
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
  add: [NET_ADMIN]
{{- end }}

{{/* One argument a line. */}}
{{- define "sluice.args" -}}
- agent
- --health-address=127.0.0.1:9470
{{- if .Values.metrics.enabled }}
- --metrics-address=:{{ .Values.metrics.port }}
{{- else }}
- --metrics-address=
{{- end }}
{{- with .Values.uplinks }}
- {{ printf "--uplinks=%s" (join "," .) | quote }}
{{- end }}
{{- with .Values.otherInterfaces }}
- {{ printf "--other-interfaces=%s" (join "," .) | quote }}
{{- end }}
{{- with .Values.nodeDNS }}
- {{ printf "--node-dns=%s" (join "," .) | quote }}
{{- end }}
{{- if .Values.guardOptOut }}
- --guard-opt-out
{{- end }}
{{- if .Values.reject }}
- --reject
{{- end }}
{{- if ne .Values.denials.mode "keep" }}
- --denials={{ .Values.denials.mode }}
{{- end }}
{{- if .Values.denials.perPod }}
- --denials-per-pod
{{- end }}
{{- if .Values.denials.events }}
- --denial-events
{{- end }}
{{- if .Values.nri.enabled }}
- --nri-socket=/var/run/nri/nri.sock
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}
