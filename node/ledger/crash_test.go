package ledger

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"

	"p2ping/node/entry"
)

// crashEnv makes the test binary a child that appends to the ledger at the
// path that it names, until it is killed.
const crashEnv = "P2PING_LEDGER_CRASH"

// crashKills is how often the child is killed; P2PING_KILLS says otherwise.
const crashKills = 10

// crashChild appends with several callers, prunes now and then, and prints the
// number of each entry once it is acknowledged. It goes on from the number that
// is its first line of input.
func crashChild(path string) {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadString('\n')
	if err != nil {
		panic(err)
	}
	first, err := strconv.ParseUint(line[:len(line)-1], 10, 64)
	if err != nil {
		panic(err)
	}
	l, err := Open(Config{Path: path, Retention: time.Second})
	if err != nil {
		panic(err)
	}
	var mu sync.Mutex
	next := first
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format, args...)
	}
	for range 4 {
		go func() {
			for {
				mu.Lock()
				n := next
				next++
				mu.Unlock()
				if _, err := l.Append(context.Background(), Own, crashEntry(n)); err != nil {
					panic(err)
				}
				say("%d\n", n)
			}
		}()
	}
	for { // some 1,000 entries are kept
		mu.Lock()
		now := crashStart + int64(next) + 500
		mu.Unlock()
		if err := l.Prune(timeOf(now)); err != nil {
			panic(err)
		}
	}
}

// crashStart is the time of entry 0 in Unix ms.
const crashStart = 1_000_000

// crashEntry is entry n, sent n ms after the start.
func crashEntry(n uint64) *entry.Entry {
	data, err := entry.EncodeData([]entry.Ping{{Text: "crash", SentAt: int64(crashStart+n) * 1000}})
	if err != nil {
		panic(err)
	}
	from := append([]byte("\x00\x24\x08\x01\x12\x20"), make([]byte, 32)...)
	topic := "test"
	e, err := entry.FromMessage(&pb.Message{
		From: from, Data: data, Seqno: binary.BigEndian.AppendUint64(nil, n), Topic: &topic, Signature: make([]byte, 64),
	})
	if err != nil {
		panic(err)
	}
	return e
}

// Whenever a process is killed, what it acknowledged is there afterwards, once,
// unless it is below the floor; and the file is sound.
func TestKill(t *testing.T) {
	r := seeded(t)
	path := filepath.Join(t.TempDir(), "ledger.db")
	kills := fromEnv(t, "P2PING_KILLS", crashKills)
	acknowledged := make(map[uint64]bool)
	for kill := range kills {
		first := uint64(len(acknowledged)) + uint64(kill)*100 // some were stored without being acknowledged
		for _, n := range killed(t, path, first, r.IntN(400)) {
			if acknowledged[n] {
				t.Errorf("%d was acknowledged twice", n)
			}
			acknowledged[n] = true
		}
		verifyKilled(t, path, acknowledged)
	}
	l := open(t, Config{Path: path})
	t.Logf("%d entries acknowledged, %d kills, %d entries above the floor", len(acknowledged), kills, l.State().Entries)
	if l.State().Floor == 0 {
		t.Error("nothing was ever pruned")
	}
}

// fromEnv returns the number in an environment variable, or another.
func fromEnv(t *testing.T, name string, other int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return other
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// killed runs a child, kills it after it has acknowledged some entries, and
// returns all that it acknowledged.
func killed(t *testing.T, path string, first uint64, after int) []uint64 {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), exe)
	child.Env = append(os.Environ(), crashEnv+"="+path)
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintln(in, first); err != nil {
		t.Fatal(err)
	}
	var numbers []uint64
	lines := bufio.NewReader(out)
	for {
		if len(numbers) == after {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) { // half a line was not acknowledged
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseUint(line[:len(line)-1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	if err := child.Wait(); err == nil || child.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return numbers
}

func verifyKilled(t *testing.T, path string, acknowledged map[uint64]bool) {
	t.Helper()
	l, err := Open(Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := checkConsistency(l); err != nil {
		t.Fatal(err)
	}
	s := l.State()
	lost := 0
	for n := range acknowledged {
		if e := crashEntry(n); e.Time >= s.Floor && !l.Has(e.Key()) {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d acknowledged entries are lost", lost)
	}
	var held []*entry.Entry
	for _, r := range arrivals(t, l, 256) {
		held = append(held, r.Entry)
	}
	sameKeys(t, l, held)
	if n, err := l.Scrub(t.Context()); n != 0 || err != nil {
		t.Errorf("scrub: %d, %v", n, err)
	}
}
