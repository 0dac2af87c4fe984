{{- define "penstock.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "penstock.labels" -}}
app.kubernetes.io/name: penstock
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "penstock.capabilities" -}}
{{- if .Values.capabilities -}}
{{ toJson (concat (list "NET_ADMIN") .Values.capabilities | uniq) }}
{{- else if eq .Values.mode "nftables" -}}
["NET_ADMIN"]
{{- else -}}
["NET_ADMIN","NET_RAW"]
{{- end -}}
{{- end }}
