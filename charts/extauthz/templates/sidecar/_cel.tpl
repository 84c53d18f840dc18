{{- /* A value as a CEL literal. `dyn`, because a list or mapping in CEL holds values of one type. */ -}}
{{- define "extauthz.cel" -}}
{{- if kindIs "map" . -}}
{
{{- range $index, $name := keys . | sortAlpha -}}
{{- if $index }}, {{ end -}}
{{ toRawJson $name }}: dyn({{ include "extauthz.cel" (get $ $name) }})
{{- end -}}
}
{{- else if kindIs "slice" . -}}
[
{{- range $index, $each := . -}}
{{- if $index }}, {{ end -}}
dyn({{ include "extauthz.cel" $each }})
{{- end -}}
]
{{- else -}}
{{ toRawJson . }}
{{- end -}}
{{- end }}

{{- /*
What both admission policies look at, as their `variables`. Takes what `extauthz-sidecar.parts` makes.
A container or a volume with a name of ours is taken for a sidecar's and replaced; so nobody gets by with a look-alike.
*/ -}}
{{- define "extauthz.celVariables" -}}
{{- $own := printf "'%s'" .container.name -}}
{{- $envoy := get .options "envoy-container" -}}
{{- $port := get .options "admin-port" | int -}}
- name: container
  expression: >-
    {{ include "extauthz.cel" .container }}
- name: initial
  expression: object.spec.?initContainers.orValue([])
- name: others
  expression: object.spec.containers + variables.initial.filter(c, c.name != {{ $own }})
- name: ours
  expression: variables.initial.filter(c, c.name == {{ $own }})
# A pod without Envoy has nothing that would ask a sidecar; where its author asks for one, he is told.
- name: wanted
  expression: >-
    object.metadata.?labels[?'{{ .content.labels.inject }}'].orValue('') == 'true' ||
    variables.others.exists(c, c.name == '{{ $envoy }}')
- name: unfit
  expression: >-
    !variables.wanted ? '' :
    ((object.spec.?hostNetwork.orValue(false)
    ? ['has hostNetwork: the admin port would be open on the node'] : []) +
    (object.spec.?os.?name.orValue('') == 'windows'
    ? ['is one of Windows, which has no Unix socket that Envoy could call'] : []) +
    (variables.others.exists(c, c.?ports.orValue([]).exists(p, p.containerPort == {{ $port }}))
    ? ['has port {{ $port }} in a container; choose another adminPort'] : []) +
    (variables.others.exists(c, c.?volumeMounts.orValue([]).exists(m,
    !(m.name in {{ toJson .content.names }}) && m.mountPath.matches('{{ .content.folderPattern }}')))
    ? ['has something at `{{ .content.folder }}` in a container'] : []) +
    (object.spec.containers.exists(c, c.name == {{ $own }}) || variables.ours.size() > 1
    ? ['has a container `{{ .container.name }}` that is none of ours; rename it'] : []) +
    (!variables.others.exists(c, c.name == '{{ $envoy }}')
    ? ['has no container `{{ $envoy }}`; see sidecar.envoyContainer'] : [])).join('; it ')
{{- end }}

{{- /* The patches that give a pod its sidecar, or nothing where it can have none: the second policy refuses it then. */ -}}
{{- define "extauthz.celMutation" -}}
{{- $names := toJson .content.names -}}
!variables.wanted || variables.unfit != '' ? [] :
  {{- range $list := list "containers" "initContainers" }}
  {{ ternary "object.spec.containers" "variables.initial" (eq $list "containers") }}.transformList(i, c,
    c.name != '{{ $.container.name }}' && (c.name == '{{ get $.options "envoy-container" }}' ||
      c.?volumeMounts.orValue([]).exists(m, m.name in {{ $names }})),
    JSONPatch{op: 'add', path: '/spec/{{ $list }}/' + string(i) + '/volumeMounts', value:
      c.?volumeMounts.orValue([]).filter(m, !(m.name in {{ $names }})) +
      (c.name == '{{ get $.options "envoy-container" }}' ? [dyn({{ include "extauthz.cel" $.socketMount }})] : [])}) +
  {{- end }}
  variables.initial.transformList(i, c, c.name == '{{ .container.name }}',
    JSONPatch{op: 'remove', path: '/spec/initContainers/' + string(i)}) +
  [
    has(object.spec.initContainers)
    ? JSONPatch{op: 'add', path: '/spec/initContainers/0', value: variables.container}
    : JSONPatch{op: 'add', path: '/spec/initContainers', value: [variables.container]},
    JSONPatch{op: 'add', path: '/spec/volumes', value:
      object.spec.?volumes.orValue([]).filter(v, !(v.name in {{ $names }})) +
      {{ include "extauthz.cel" .volumes }}},
    has(object.metadata.annotations)
    ? JSONPatch{op: 'add', path: '/metadata/annotations/' + jsonpatch.escapeKey('{{ .content.annotations.injected }}'),
      value: '{{ .container.name }}'}
    : JSONPatch{op: 'add', path: '/metadata/annotations', value:
      {'{{ .content.annotations.injected }}': '{{ .container.name }}'}}
  ]
{{- end }}
