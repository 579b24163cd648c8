package web

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// browserTests is where the tests in a real browser are, from here.
const browserTests = "../../.ci/page"

// TestInBrowser runs the page in Chromium against real nodes, and other sites'
// pages against a node. Where what it needs is missing it skips; in CI it fails.
func TestInBrowser(t *testing.T) {
	missing := t.Skipf
	if os.Getenv("CI") == "true" {
		missing = t.Fatalf
	}
	if testing.Short() {
		t.Skip("takes minutes")
	}
	if raceEnabled {
		t.Skip("what is tested runs in processes of their own: the race detector sees none of it")
	}
	if _, err := os.Stat(filepath.Join(browserTests, "node_modules")); err != nil {
		missing("NOT TESTED IN A BROWSER: run .ci/page/run install first: %v", err)
	}
	for _, program := range []string{"node", "npm", "chromium", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			missing("NOT TESTED IN A BROWSER: %v", err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "npm", "test")
	cmd.Dir = browserTests
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
}
