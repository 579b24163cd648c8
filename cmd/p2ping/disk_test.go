package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// filler is the file that takes the room of a small disk.
const filler = "filler"

// cmdSmallDisk mounts a tmpfs of 48 MiB at a new directory, until the script's
// end. That needs root.
func cmdSmallDisk(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: small-disk DIR")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.Mkdir(dir, 0o700))
	unmount, err := mountSmallDisk(dir)
	if err != nil {
		ts.Fatalf("mounting a tmpfs: %v", err)
	}
	ts.Defer(unmount)
}

// cmdFill takes all the room that is left on a disk.
func cmdFill(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: fill DIR")
	}
	f, err := os.OpenFile(filepath.Join(ts.MkAbs(args[0]), filler), os.O_WRONLY|os.O_CREATE, 0o600)
	ts.Check(err)
	defer f.Close()
	block := make([]byte, 4096)
	for {
		_, err := f.Write(block)
		if errors.Is(err, syscall.ENOSPC) {
			return
		}
		ts.Check(err)
	}
}

// cmdAwaitStatus publishes large pings until one is answered with a status, and
// leaves the answer as the output. With "!" it waits for any other status.
func cmdAwaitStatus(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: await-status URL STATUS")
	}
	want := number(ts, args[1:], 0)
	body := "a large ping " + strings.Repeat("x", 4000)
	deadline := time.Now().Add(patience)
	for {
		status, answer, err := request(http.DefaultClient, "POST", args[0]+"/ping", body)
		ts.Check(err)
		if (status == want) != neg {
			_, err := io.WriteString(ts.Stdout(), answer+"\n")
			ts.Check(err)
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the last answer was %d: %s", status, answer)
		}
	}
}

// cmdAwaitSync waits until nodes hold the same.
func cmdAwaitSync(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await-sync URL URL...")
	}
	digest := regexp.MustCompile(`"digest":"\w+"`)
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var digests []string
		for _, url := range args {
			_, answer, err := request(http.DefaultClient, "GET", url+"/sync", "")
			ts.Check(err)
			digests = append(digests, digest.FindString(answer))
		}
		if len(slices.Compact(slices.Clone(digests))) == 1 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("they still differ: %q", digests)
		}
	}
}
