package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/navefleet/nave/hub/internal/confine"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
)

// ServeWorker is a worker process: it answers requests until standard input ends. It confines the process first: no
// network, no environment, no more memory than the pool allows.
func ServeWorker(stdin io.Reader, stdout io.Writer) error {
	prepare := func() {
		kustomize.Confine()
		os.Clearenv()
		kustomize.Warm()
	}
	return confine.Serve(stdin, stdout, confine.Service{Prepare: prepare, Answer: answer, Reasons: reasons})
}

// answer builds what one request asks for.
func answer(data []byte) ([]byte, error) {
	var request kustomize.Request
	if err := json.Unmarshal(data, &request); err != nil {
		return nil, fmt.Errorf("decode render request: %w", err)
	}
	result, err := kustomize.Build(context.Background(), request)
	if err != nil {
		return nil, err
	}
	return encode(result)
}
