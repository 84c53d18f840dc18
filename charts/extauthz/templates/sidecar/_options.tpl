{{- /* What this release says of sidecars, as `extauthz inject --options` and the library of templates read it. */ -}}
{{- define "extauthz.sidecarOptions" -}}
image: "{{ include "extauthz.image" . }}"
image-pull-policy: "{{ .Values.image.pullPolicy }}"
envoy-container: "{{ .Values.sidecar.envoyContainer }}"
admin-port: {{ .Values.adminPort }}
{{- if ne .Values.bindAddress "0.0.0.0" }}
bind-address: "{{ .Values.bindAddress }}"
{{- end }}
{{- if and .Values.store.url .Values.store.secretName }}
store-secret: "{{ .Values.store.secretName }}"
{{- end }}
{{- with .Values.pepper.secretName }}
pepper-secret: "{{ . }}"
{{- end }}
resources: {{ toJson .Values.sidecar.resources }}
args:
  - --install-namespace={{ .Release.Namespace }}
  {{- with include "extauthz.storeArgs" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- include "extauthz.settingArgs" . | trim | nindent 2 }}
{{- end }}
