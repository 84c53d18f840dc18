{{- /* Namespaces whose pods may be injected. Where the cluster itself runs, a mistake here must not stop it. */ -}}
{{- define "extauthz.injectable" -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values: {{ toJson (append .Values.sidecar.injection.exemptNamespaces .Release.Namespace | uniq) }}
{{- end }}

{{- /* All pods of a namespace that is labelled, but those that are let out. */ -}}
{{- define "extauthz.wanted.namespaces" -}}
namespaceSelector:
  matchLabels: {{ "{" }}{{ .label }}: "true"}
{{- if .optOut }}
objectSelector:
  matchExpressions:
    - {key: {{ .label }}, operator: NotIn, values: ["false"]}
{{- end }}
{{- end }}

{{- /* Pods that are labelled themselves, in the other namespaces: no pod is in both. */ -}}
{{- define "extauthz.wanted.pods" -}}
namespaceSelector:
  matchExpressions:
    - {key: {{ .label }}, operator: NotIn, values: ["true"]}
objectSelector:
  matchLabels: {{ "{" }}{{ .label }}: "true"}
{{- end }}

{{- define "extauthz.admissionVersion" -}}
{{- $kind := "MutatingAdmissionPolicy" -}}
{{- if .Values.sidecar.injection.apiVersion -}}
{{- .Values.sidecar.injection.apiVersion -}}
{{- else if .Capabilities.APIVersions.Has (printf "admissionregistration.k8s.io/v1/%s" $kind) -}}
v1
{{- else if .Capabilities.APIVersions.Has (printf "admissionregistration.k8s.io/v1beta1/%s" $kind) -}}
v1beta1
{{- else -}}
{{- fail "sidecar.injection.enabled is true, and the cluster serves no MutatingAdmissionPolicy: it needs Kubernetes 1.36, or 1.34 with the feature gate of that name and --runtime-config=admissionregistration.k8s.io/v1beta1=true; where the cluster is not asked (helm template), set sidecar.injection.apiVersion" -}}
{{- end -}}
{{- end }}
