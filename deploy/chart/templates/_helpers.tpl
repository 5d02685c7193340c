{{- define "capture.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "capture.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "capture.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "capture.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "capture.daemon" -}}{{ include "capture.fullname" . }}-daemon{{- end }}
{{- define "capture.exporter" -}}{{ include "capture.fullname" . }}-exporter{{- end }}
{{- define "capture.web" -}}{{ include "capture.fullname" . }}-web{{- end }}
{{- define "capture.coordinator" -}}{{ include "capture.fullname" . }}-coordinator{{- end }}

{{- define "capture.nodeSecret" -}}
{{ default (printf "%s-tls" (include "capture.daemon" .)) .Values.certificates.nodeSecret }}
{{- end }}
{{- define "capture.coordinatorSecret" -}}
{{ default (printf "%s-tls" (include "capture.coordinator" .)) .Values.certificates.coordinatorSecret }}
{{- end }}

{{- define "capture.selector" -}}
app.kubernetes.io/name: {{ include "capture.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "capture.labels" -}}
{{ include "capture.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The name that the daemons' certificate is for, whatever the address of the node. */}}
{{- define "capture.serverName" -}}captured{{- end }}
{{/* The name in the coordinator's certificate that the daemons know as an operator. */}}
{{- define "capture.clientName" -}}capture-coordinator{{- end }}

{{- define "capture.coordinatorNames" -}}
{{- $service := include "capture.coordinator" . -}}
{{- list (include "capture.clientName" .) $service (printf "%s.%s" $service .Release.Namespace) (printf "%s.%s.svc" $service .Release.Namespace) (printf "%s.%s.svc.cluster.local" $service .Release.Namespace) "localhost" | uniq | toJson }}
{{- end }}

{{/* The sinks that resources may name, separated by commas. */}}
{{- define "capture.sinks" -}}
{{- $names := .Values.exporter.sinks }}
{{- if not $names }}
{{- $head := `(?m)^[ \t]*\[[ \t]*sink[ \t]*\.[ \t]*["']?([a-z0-9-]+)["']?[ \t]*\]` }}
{{- range regexFindAll $head .Values.exporter.config -1 }}
{{- $names = append $names (regexReplaceAll $head . "${1}") }}
{{- end }}
{{- end }}
{{- join "," $names }}
{{- end }}

{{/* Takes a part of an OpenAPI schema and removes the rules in CEL, which servers before 1.25 do not know. */}}
{{- define "capture.withoutRules" -}}
{{- if kindIs "map" . }}
{{- $_ := unset . "x-kubernetes-validations" }}
{{- range $key, $value := . }}{{ include "capture.withoutRules" $value }}{{- end }}
{{- else if kindIs "slice" . }}
{{- range . }}{{ include "capture.withoutRules" . }}{{- end }}
{{- end }}
{{- end }}
