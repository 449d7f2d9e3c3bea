package kubetest

import (
	"context"
	"sync"
	"time"
)

// Shared is a cluster that all tests of a program share. It is started when one of them asks for it.
type Shared struct {
	Options

	once    sync.Once
	cluster *Cluster
	err     error
}

// Get returns the cluster. The first call starts it, and may build the binary for that.
func (s *Shared) Get() (*Cluster, error) {
	s.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
		defer cancel()
		s.cluster, s.err = Start(ctx, s.Options)
	})
	return s.cluster, s.err
}

// Stop stops the cluster if it was started.
func (s *Shared) Stop() error {
	if s.cluster == nil {
		return nil
	}
	return s.cluster.Stop()
}
