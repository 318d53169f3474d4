package p2p

import (
	"io"

	golog "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p/gologshim"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// LogTo makes w the place that libp2p, bitswap and what they import log to, for the
// whole process: by themselves they write to standard error, and quote what peers
// send. Which events they log stays what the environment says (GOLOG_LOG_LEVEL),
// errors by default. It is to be called before the first node starts.
func LogTo(w io.Writer) {
	encoder := zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig())
	golog.SetPrimaryCore(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), zapcore.DebugLevel))
	gologshim.SetDefaultHandler(golog.SlogHandler())
}
