package confine

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"time"
)

// Names of the environment variables by which a process gets its limits, in bytes.
const (
	memoryVariable = "NAVE_CONFINE_MEMORY"
	outputVariable = "NAVE_CONFINE_OUTPUT"
	fileVariable   = "NAVE_CONFINE_FILE"
)

// hardLimit times the limit is how much the kernel gives a process that grows faster than its pool can watch. The
// process then ends, and cannot always say why.
const hardLimit = 2

// idleAfter is how long a process has no request before it gives the memory of its garbage back to the system. It is
// longer than the pauses between the requests of one change, which would otherwise need the memory again.
const idleAfter = 2 * time.Second

// Service is the work of a confined process.
type Service struct {
	// Prepare runs once, under the limits and before the first request; may be nil.
	Prepare func()
	// Answer answers one request. It may have an answer beside an error; one that is too long for that is left out.
	Answer func(request []byte) ([]byte, error)
	// Reasons are those of the pool's Config.
	Reasons []error
}

// Serve limits this process as its pool asks, and answers requests until standard input ends. No other code of the
// process may use standard output.
func Serve(stdin io.Reader, stdout io.Writer, s Service) error {
	output, memory := limitOf(outputVariable, math.MaxUint32), limitOf(memoryVariable, 0)
	dieFirst()
	if err := limit(memory); err != nil {
		return err
	}
	os.Stdout = os.Stderr
	if s.Prepare != nil {
		s.Prepare()
	}
	idle := time.AfterFunc(idleAfter, debug.FreeOSMemory)
	defer idle.Stop()
	for {
		request, err := readFrame(stdin, MaxRequest)
		idle.Stop()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read request: %w", err)
		}
		answer, err := s.Answer(request)
		if err := writeAnswer(stdout, answer, err, s.Reasons, output); err != nil {
			return err
		}
		if memory > 0 && residentMemory(os.Getpid()) > memory/4 {
			debug.FreeOSMemory() // the next request is not blamed for this one's garbage
		}
		idle.Reset(idleAfter)
	}
}

// limit has the kernel limit this process.
func limit(memory int64) error {
	if memory > 0 {
		debug.SetMemoryLimit(memory / 4 * 3) // collect garbage harder before the pool kills the process
		if err := limitMemory(hardLimit * memory); err != nil {
			return fmt.Errorf("limit memory: %w", err)
		}
	}
	if os.Getenv(fileVariable) == "" {
		return nil // there is no pool
	}
	if err := limitFile(limitOf(fileVariable, 0)); err != nil {
		return fmt.Errorf("limit files: %w", err)
	}
	return nil
}

func limitOf(variable string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(os.Getenv(variable), 10, 64); err == nil && n > 0 {
		return n
	}
	return otherwise
}
