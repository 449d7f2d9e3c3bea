package bundle

import (
	"encoding/json"
	"testing"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

func TestStages(t *testing.T) {
	for wire, want := range map[spokev1.AckStage]Stage{
		spokev1.AckStage_ACK_STAGE_UNSPECIFIED: NoStage, spokev1.AckStage_ACK_STAGE_RECEIVED: Received,
		spokev1.AckStage_ACK_STAGE_APPLIED: Applied, spokev1.AckStage_ACK_STAGE_HEALTHY: Healthy,
	} {
		if got, ok := StageFrom(wire); !ok || got != want || got.Message() != wire {
			t.Errorf("%s is read as %q, %v", wire, got, ok)
		}
	}
	for _, wire := range []spokev1.AckStage{spokev1.AckStage_ACK_STAGE_REJECTED, 5, -1} {
		if got, ok := StageFrom(wire); ok {
			t.Errorf("%s is read as %q", wire, got)
		}
	}
}

// TestStageRows reads and writes the rows of older hubs.
func TestStageRows(t *testing.T) {
	const row = `{"applied":2,"healthy":3,"received":1}`
	var acks map[Stage]int
	if err := json.Unmarshal([]byte(row), &acks); err != nil || acks[Received] != 1 || acks[Healthy] != 3 {
		t.Errorf("%v, %v", acks, err)
	}
	if got, err := json.Marshal(acks); err != nil || string(got) != row {
		t.Errorf("%s, %v", got, err)
	}
	if err := json.Unmarshal([]byte(`{"finished":1}`), &acks); err == nil {
		t.Error("an unknown stage is read")
	}
}
