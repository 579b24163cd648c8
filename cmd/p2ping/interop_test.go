package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// interopTests is where the peer on js-libp2p is, from here.
const interopTests = "../../.ci/interop"

// TestInterop runs a peer on js-libp2p, written from node/PROTOCOL.md alone,
// against this program. Where what it needs is missing it skips; in CI it fails.
func TestInterop(t *testing.T) {
	missing := t.Skipf
	if os.Getenv("CI") == "true" {
		missing = t.Fatalf
	}
	if testing.Short() {
		t.Skip("takes many seconds")
	}
	if _, err := os.Stat(filepath.Join(interopTests, "node_modules")); err != nil {
		missing("NOT TESTED WITH JS-LIBP2P: run .ci/npm-install .ci/interop first: %v", err)
	}
	for _, program := range []string{"node", "npm", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			missing("NOT TESTED WITH JS-LIBP2P: %v", err)
		}
	}
	program, err := exec.LookPath("p2ping") // this test's own binary, as transcripts start it
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "npm", "test")
	cmd.Dir = interopTests
	cmd.Env = append(os.Environ(), "P2PING_BIN="+program)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
}
