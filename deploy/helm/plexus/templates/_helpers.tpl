{{- define "plexus.name" -}}
{{- default .Chart.Name .Values.nameOverride -}}
{{- end -}}

{{- define "plexus.serviceAccount" -}}
{{- default (include "plexus.name" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "plexus.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "plexus.selectorLabels" -}}
app.kubernetes.io/name: {{ include "plexus.name" . }}
app.kubernetes.io/component: node-agent
{{- end -}}

{{- define "plexus.labels" -}}
{{ include "plexus.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: plexus
{{- end -}}

{{- define "plexus.hasConfig" -}}
{{- if or .Values.config .Values.multusDaemonConfig.configMapName -}}true{{- end -}}
{{- end -}}

{{- /* The directory of the readiness indicator file, unless it is mounted anyway. */ -}}
{{- define "plexus.readinessDir" -}}
{{- with .Values.cni.readinessIndicatorFile -}}
{{- if not (has (dir .) (list $.Values.cni.confDir $.Values.cni.primaryDir)) }}{{ dir . }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "plexus.isLoopback" -}}
{{- if or (eq .Values.metrics.address "127.0.0.1") (eq .Values.metrics.address "[::1]") -}}true{{- end -}}
{{- end -}}

{{- define "plexus.capabilities" -}}
{{- $capabilities := list "NET_ADMIN" "BPF" "PERFMON" -}}
{{- if or .Values.sysAdmin .Values.dhcp }}{{ $capabilities = append $capabilities "SYS_ADMIN" }}{{ end -}}
{{- if .Values.dhcp }}{{ $capabilities = append $capabilities "NET_RAW" }}{{ end -}}
{{- toYaml $capabilities -}}
{{- end -}}

{{- /* Refuses combinations that render, but cannot work. */ -}}
{{- define "plexus.check" -}}
{{- $roots := .Values.hostDataDirs -}}
{{- range append .Values.ipamDataDirs .Values.multusCacheDir -}}
  {{- $dir := . -}}
  {{- $found := false -}}
  {{- range $roots -}}
    {{- if or (eq $dir .) (hasPrefix (printf "%s/" .) $dir) }}{{ $found = true }}{{ end -}}
  {{- end -}}
  {{- if not $found }}{{ fail (printf "%s lies beneath none of hostDataDirs, so plexusd could not reach it: add it there" $dir) }}{{ end -}}
{{- end -}}
{{- if and .Values.config .Values.multusDaemonConfig.configMapName -}}
  {{- fail "config and multusDaemonConfig.configMapName exclude each other: plexusd reads one config file" -}}
{{- end -}}
{{- if and .Values.metrics.service.enabled (not .Values.metrics.enabled) -}}
  {{- fail "metrics.service.enabled needs metrics.enabled" -}}
{{- end -}}
{{- if and .Values.metrics.service.enabled (include "plexus.isLoopback" .) -}}
  {{- fail "metrics.service.enabled needs a metrics.address that is not loopback, for instance 0.0.0.0" -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.service.enabled) -}}
  {{- fail "metrics.serviceMonitor.enabled needs metrics.service.enabled" -}}
{{- end -}}
{{- end -}}
