package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/navefleet/nave/hub/internal/render/kustomize"
)

// Limits that the pool hands to a worker in its environment, in bytes.
const (
	memoryVariable = "NAVE_RENDER_MEMORY"
	outputVariable = "NAVE_RENDER_OUTPUT"
)

// hardLimit times the limit is where the kernel refuses memory, should a worker outrun the pool that watches it. The
// process then ends, but cannot always say why.
const hardLimit = 2

// ServeWorker is a worker process: it answers requests until standard input ends. It confines the process first: no
// network, no environment, no more memory than the pool allows. Nothing else of the process may use standard output.
func ServeWorker(stdin io.Reader, stdout io.Writer) error {
	output := limitOf(outputVariable, math.MaxUint32)
	if memory := limitOf(memoryVariable, 0); memory > 0 {
		debug.SetMemoryLimit(memory / 4 * 3) // collect garbage harder before the pool ends the process
		if err := limitMemory(hardLimit * memory); err != nil {
			return fmt.Errorf("limit memory: %w", err)
		}
	}
	kustomize.Confine()
	os.Clearenv()
	os.Stdout = os.Stderr
	kustomize.Warm()
	for {
		request, err := readFrame(stdin, maxRequest)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read request: %w", err)
		}
		answer, err := encode(answer(request), output)
		if err != nil {
			return err
		}
		if err := writeFrame(stdout, answer); err != nil {
			return err
		}
	}
}

func limitOf(variable string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(os.Getenv(variable), 10, 64); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// answer builds what one request asks for.
func answer(data []byte) *response {
	var request kustomize.Request
	if err := json.Unmarshal(data, &request); err != nil {
		return failure(fmt.Errorf("decode render request: %w", err))
	}
	result, err := kustomize.Build(context.Background(), request)
	if err != nil {
		return failure(err)
	}
	r, err := success(result)
	if err != nil {
		return failure(err)
	}
	return r
}

// encode returns the response's bytes, or those of an error when it is too large.
func encode(r *response, limit int64) ([]byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode response: %w", err)
	}
	if int64(len(data)) > limit {
		return json.Marshal(failure(fmt.Errorf("%w: %d bytes, the limit is %d", ErrOutput, len(data), limit)))
	}
	return data, nil
}
