package faults_test

import "testing"

func TestFaults(t *testing.T) {
	if lab == nil {
		t.Skip("needs Kubernetes; leave out -short")
	}
	t.Run("line", testLine)
	t.Run("narrow_blob", testNarrowBlob)
	t.Run("hub", testHubKills)
	t.Run("middle", testMiddle)
	t.Run("disk", testDisks)
	t.Run("clock", testClocks)
	t.Run("older", testOlder)
	t.Run("upgrade", testUpgrade)
}
