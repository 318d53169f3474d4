package names

import (
	"fmt"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Places are who is asked for records, and who is told of them.
type Places struct {
	Sources []ipfs.RecordSource
	Several []ipfs.RecordsSource
	Sinks   []ipfs.RecordSink
}

// Add adds places, each as all that it is: an [ipfs.RecordSource] or an
// [ipfs.RecordsSource], and an [ipfs.RecordSink].
func (p *Places) Add(places ...fmt.Stringer) {
	for _, place := range places {
		if one, ok := place.(ipfs.RecordSource); ok {
			p.Sources = append(p.Sources, one)
		}
		if several, ok := place.(ipfs.RecordsSource); ok {
			p.Several = append(p.Several, several)
		}
		if sink, ok := place.(ipfs.RecordSink); ok {
			p.Sinks = append(p.Sinks, sink)
		}
	}
}
