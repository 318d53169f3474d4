package server

// Live are the settings of a server that may change while it runs.
type Live struct {
	Catalog     bool // as in [Config]
	NoAccessLog bool // as in [Config]
}

// SetLive has them take effect; what is being answered is answered as before.
func (s *Server) SetLive(l Live) { s.live.Store(&l) }

// NoteReload tells /metrics that settings were read again, and whether they took effect.
func (s *Server) NoteReload(applied bool) {
	result := "refused"
	if applied {
		result = "applied"
	}
	s.metrics.reloads.WithLabelValues(result).Inc()
}
