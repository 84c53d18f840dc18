{{- define "extauthz.name" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- define "extauthz.selector" -}}
app.kubernetes.io/name: "{{ .Chart.Name }}"
app.kubernetes.io/instance: "{{ .Release.Name }}"
{{- end }}

{{- define "extauthz.labels" -}}
{{ include "extauthz.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: "{{ .Release.Service }}"
helm.sh/chart: "{{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}"
{{- end }}

{{- /* What a controller is called: of all namespaces, or of one. A name that is cut keeps a digest of the whole, so that
no two are alike. Takes a list of the root and the namespace, which is empty for all. */ -}}
{{- define "extauthz.controller" -}}
{{- $whole := printf "%s-controller" (include "extauthz.name" (index . 0)) -}}
{{- with index . 1 -}}{{- $whole = printf "%s-%s" $whole . -}}{{- end -}}
{{- if gt (len $whole) 56 -}}
{{- $whole = printf "%s-%s" ($whole | trunc 47 | trimSuffix "-") ($whole | sha256sum | trunc 8) -}}
{{- end -}}
{{- $whole -}}
{{- end }}

{{- /* What is called the release's where other releases have theirs, too: in the cluster, and in namespaces of others. No
part but the first may have a dot, so no two are alike. Takes a list of the root and what it is for. */ -}}
{{- define "extauthz.outside" -}}
{{- printf "%s.%s.%s" (include "extauthz.name" (index . 0)) (index . 0).Release.Namespace (index . 1) -}}
{{- end }}

{{- define "extauthz.controllerAccount" -}}
{{- printf "%s-controller" (include "extauthz.name" .) -}}
{{- end }}

{{- define "extauthz.account" -}}
{{- default (include "extauthz.name" .) .Values.serviceAccount.name -}}
{{- end }}

{{- define "extauthz.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default .Chart.AppVersion $image.tag }}
{{- end -}}
{{- end }}

{{- define "extauthz.tlsSecret" -}}
{{- if .Values.tls.certManager.enabled -}}
{{ default (printf "%s-tls" (include "extauthz.name" .)) .Values.tls.secretName }}
{{- else -}}
{{ .Values.tls.secretName }}
{{- end -}}
{{- end }}

{{- /* The plural names of our kinds, told by the definitions themselves: dict of `namespaced` and `cluster`. */ -}}
{{- define "extauthz.kinds" -}}
{{- $namespaced := list -}}
{{- $cluster := list -}}
{{- range $path, $text := .Files.Glob "files/crds/*.yaml" -}}
{{- $plural := base $path | trimPrefix "extauthz.dev_" | trimSuffix ".yaml" -}}
{{- if regexMatch "(?m)^  scope: Cluster$" (toString $text) -}}
{{- $cluster = append $cluster $plural -}}
{{- else -}}
{{- $namespaced = append $namespaced $plural -}}
{{- end -}}
{{- end -}}
{{- dict "namespaced" $namespaced "cluster" $cluster | toJson -}}
{{- end }}
