package confine

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime/debug"
	"strconv"
)

// Limits that the pool hands to a process in its environment, in bytes.
const (
	memoryVariable = "NAVE_CONFINE_MEMORY"
	outputVariable = "NAVE_CONFINE_OUTPUT"
)

// hardLimit times the limit is where the kernel refuses memory, should a process outrun the pool that watches it. The
// process then ends, but cannot always say why.
const hardLimit = 2

// Service is what a confined process does.
type Service struct {
	// Prepare runs once, with the process's limits and before its first request. nil: nothing.
	Prepare func()
	// Answer answers one request.
	Answer func(request []byte) ([]byte, error)
	// Reasons are those of the pool's Config.
	Reasons map[string]error
}

// Serve is a confined process: it answers requests until standard input ends. It confines the process first to the
// memory that the pool allows. Nothing else of the process may use standard output.
func Serve(stdin io.Reader, stdout io.Writer, s Service) error {
	output, memory := limitOf(outputVariable, math.MaxUint32), limitOf(memoryVariable, 0)
	if memory > 0 {
		debug.SetMemoryLimit(memory / 4 * 3) // collect garbage harder before the pool ends the process
		if err := limitMemory(hardLimit * memory); err != nil {
			return fmt.Errorf("limit memory: %w", err)
		}
	}
	dieFirst()
	os.Stdout = os.Stderr
	if s.Prepare != nil {
		s.Prepare()
	}
	for {
		request, err := readFrame(stdin, MaxRequest)
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
	}
}

func limitOf(variable string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(os.Getenv(variable), 10, 64); err == nil && n > 0 {
		return n
	}
	return otherwise
}
