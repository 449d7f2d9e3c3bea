package store

import (
	"context"
	"sync/atomic"
)

// CountReads adds to n each row that a transaction reads, in a scan or by itself. Tests use CountReads to find reads
// that grow with the fleet.
func CountReads(n *atomic.Int64) Option {
	return func(s *Store) { s.engine = countingEngine{s.engine, n} }
}

// countingEngine is an engine whose reads are counted.
type countingEngine struct {
	engine
	reads *atomic.Int64
}

func (e countingEngine) begin(ctx context.Context, writable bool) (engineTx, error) {
	t, err := e.engine.begin(ctx, writable)
	return countingTx{t, e.reads}, err
}

type countingTx struct {
	engineTx
	reads *atomic.Int64
}

func (t countingTx) get(table, key string) ([]byte, error) {
	t.reads.Add(1)
	return t.engineTx.get(table, key)
}

func (t countingTx) scan(table, prefix, after string, visit func(key string, value []byte) error) error {
	return t.engineTx.scan(table, prefix, after, func(key string, value []byte) error {
		t.reads.Add(1)
		return visit(key, value)
	})
}
