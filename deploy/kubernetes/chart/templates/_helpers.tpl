{{- define "image2ipfs.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "image2ipfs.selector" -}}
app.kubernetes.io/name: image2ipfs
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "image2ipfs.labels" -}}
{{ include "image2ipfs.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "image2ipfs.image" -}}
{{- $repository := required "image.repository: where the cluster pulls the image of image2ipfs from has to be given; make image makes it, and docs/kubernetes.md says how it is pushed" .Values.image.repository -}}
image: {{ if .Values.image.digest }}{{ $repository }}@{{ .Values.image.digest }}{{ else }}{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end -}}

{{/* What both kinds of server are told of the peers. */}}
{{- define "image2ipfs.peerArgs" -}}
- --swarm-key=/etc/image2ipfs/swarm/{{ .Values.swarmKey.key }}
- --swarm-listen=/ip4/0.0.0.0/tcp/{{ .Values.peers.port }}
- --peers=dns:{{ include "image2ipfs.fullname" . }}-peers:{{ .Values.peers.port }}
{{- if .Values.registry.enabled }}
- --peers=dns:{{ include "image2ipfs.fullname" . }}-origin:{{ .Values.peers.port }}
{{- end }}
{{- range .Values.peers.extra }}
- --peers={{ . }}
{{- end }}
{{- end -}}

{{/* The ports of peers.extra that are not those of the pods, as rules of egress. */}}
{{- define "image2ipfs.extraPorts" -}}
{{- $seen := dict (printf "TCP %d" (int .Values.peers.port)) true -}}
{{- range .Values.peers.extra }}
{{- $protocol := "TCP" }}
{{- $port := "" }}
{{- if hasPrefix "dns:" . }}
{{- $port = regexFind ":[0-9]+$" . | default ":4001" | trimPrefix ":" }}
{{- else }}
{{- $at := regexFind "/(tcp|udp)/[0-9]+" . }}
{{- if not $at }}{{ fail (printf "peers.extra: %s: expected dns:NAME, dns:NAME:PORT or a multiaddr with /tcp/PORT or /udp/PORT" .) }}{{ end }}
{{- if hasPrefix "/udp/" $at }}{{ $protocol = "UDP" }}{{ end }}
{{- $port = base $at }}
{{- end }}
{{- $key := printf "%s %s" $protocol $port }}
{{- if not (hasKey $seen $key) }}
{{- $_ := set $seen $key true }}
- port: {{ $port }}
  protocol: {{ $protocol }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Restricted, but for what a container of root lacks. */}}
{{- define "image2ipfs.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop:
    - ALL
{{- end -}}

{{- define "image2ipfs.asRoot" -}}
runAsNonRoot: false
runAsUser: 0
runAsGroup: 0
{{ include "image2ipfs.confined" . }}
{{- end -}}

{{- define "image2ipfs.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "image2ipfs.healthCommand" -}}
exec:
  command:
    - image2ipfs
    - health
    - --server=http://127.0.0.1:{{ . }}
{{- end -}}

{{- define "image2ipfs.probes" -}}
startupProbe:
  {{- include "image2ipfs.healthCommand" . | nindent 2 }}
  periodSeconds: 2
  timeoutSeconds: 10
  failureThreshold: 60
readinessProbe:
  {{- include "image2ipfs.healthCommand" . | nindent 2 }}
  periodSeconds: 30
  timeoutSeconds: 10
livenessProbe:
  {{- include "image2ipfs.healthCommand" . | nindent 2 }}
  periodSeconds: 60
  timeoutSeconds: 20
  failureThreshold: 5
{{- end -}}

{{/* setup, or with "--undo" its undo. */}}
{{- define "image2ipfs.setupArgs" -}}
- --certs-only
- --yes
- --root=/host
- --config=/host{{ .Values.setup.configDir }}/config.toml
- --server=http://127.0.0.1:{{ .Values.mirror.port }}
{{- end -}}

{{- define "image2ipfs.setupRest" -}}
resources:
  requests:
    cpu: 10m
    memory: 32Mi
  limits:
    memory: 128Mi
securityContext:
  # certs.d belongs to root.
  {{- include "image2ipfs.asRoot" . | nindent 2 }}
volumeMounts:
  - name: containerd
    mountPath: /host{{ .Values.setup.configDir }}
    readOnly: true
  # containerd 2.2 reads its certs.d, too: what it says must not be hidden.
  - name: docker
    mountPath: /host/etc/docker
    readOnly: true
  - name: certs
    mountPath: /host{{ .Values.setup.certsDir }}
{{- end -}}

{{- define "image2ipfs.hostVolumes" -}}
- name: containerd
  hostPath:
    path: {{ .Values.setup.configDir }}
    type: Directory
- name: docker
  hostPath:
    path: /etc/docker
    type: DirectoryOrCreate
- name: certs
  hostPath:
    path: {{ .Values.setup.certsDir }}
    type: DirectoryOrCreate
{{- end -}}

{{- define "image2ipfs.secretVolume" -}}
secret:
  secretName: {{ . }}
  defaultMode: 288
{{- end -}}

{{/* Where pods go: a dict of what a section of values says. */}}
{{- define "image2ipfs.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "image2ipfs.metricsPort" -}}
- name: metrics
  containerPort: {{ .Values.metrics.port }}
{{- end -}}

{{/* A size in bytes, of 10GiB as image2ipfs writes it and of 12Gi as Kubernetes does. */}}
{{- define "image2ipfs.bytes" -}}
{{- $units := dict "" 1 "K" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "KI" 1024 "MI" 1048576 "GI" 1073741824 "TI" 1099511627776 -}}
{{- $unit := regexFind "[KMGT]I?" (upper (toString .)) -}}
{{- mulf (regexFind "^[0-9.]+" (toString .)) (get $units $unit) -}}
{{- end }}
