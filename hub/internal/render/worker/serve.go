package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/navefleet/nave/hub/internal/confine"
	"github.com/navefleet/nave/hub/internal/render"
)

// garbage is how much garbage a worker keeps, in percent of the memory in use, before it collects: a build makes much,
// and all of it is garbage as soon as the build ends. The limit on memory still holds, and an idle worker collects.
//
// A worker itself uses so little that it would collect after every third build. The reserve, in bytes, counts as in
// use, so that a worker keeps at least 80 MiB of garbage. Its pages are never written and cost no memory.
const (
	garbage = 400
	reserve = 16 << 20
)

// ServeWorker runs a worker process: it answers requests with the renderer until standard input ends. It confines the
// process first: no network, no environment, no more memory than the pool allows. Then it calls warm, which loads the
// data that renders share.
func ServeWorker(stdin io.Reader, stdout io.Writer, renderer render.Renderer, warm func()) error {
	reserved := make([]byte, reserve)
	defer runtime.KeepAlive(reserved)
	prepare := func() {
		DenyNetwork()
		os.Clearenv()
		log.SetOutput(io.Discard) // Helm's library writes values into its warnings
		debug.SetGCPercent(garbage)
		runtime.GOMAXPROCS(1) // a render has one goroutine, and while there is much to do, each CPU has a worker
		warm()
	}
	answer := func(data []byte) ([]byte, error) { return answer(renderer, data) }
	return confine.Serve(stdin, stdout, confine.Service{Prepare: prepare, Answer: answer, Reasons: render.Reasons})
}

// answer returns the encoded result of one request.
func answer(renderer render.Renderer, data []byte) ([]byte, error) {
	var request render.Request
	if err := json.Unmarshal(data, &request); err != nil {
		return nil, fmt.Errorf("decode render request: %w", err)
	}
	result, err := renderer.Render(context.Background(), request)
	if err != nil {
		return nil, err
	}
	return encode(result)
}
