package level

import (
	"strings"
	"testing"
	"time"
)

func TestReturn(t *testing.T) {
	before := Take()
	end := make(chan struct{})
	for range 2 * slackGoroutines {
		go func() { <-end }()
	}
	if err := before.Return(0); err == nil || !strings.Contains(err.Error(), "TestReturn") {
		t.Errorf("goroutines that stay: %v", err)
	}
	close(end)
	if err := before.Return(10 * time.Second); err != nil {
		t.Error(err)
	}
	kept := make([]byte, 2*slackHeap)
	if err := before.Return(0); err == nil {
		t.Error("memory that stays is not seen")
	}
	kept[0]++
}
