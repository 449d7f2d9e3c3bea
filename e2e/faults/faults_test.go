package faults_test

import "testing"

func TestFaults(t *testing.T) {
	if lab == nil {
		t.Skip("needs Kubernetes; leave out -short")
	}
	t.Run("network", testNetwork)
}
