package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// startedFor tells a process of this test binary that it is to start like a
// node, in the directory that the variable names.
const startedFor = "P2PING_KEYS_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(startedFor); dir != "" {
		key, created, err := LoadOrCreate(dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		id, err := peer.IDFromPrivateKey(key)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(id, created)
		return
	}
	os.Exit(m.Run())
}

func TestLoadOrCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "p2ping")
	key, created, err := LoadOrCreate(dir)
	if err != nil || !created {
		t.Fatalf("created: %v, %v", created, err)
	}
	again, created, err := LoadOrCreate(dir)
	if err != nil || created {
		t.Fatalf("created again: %v, %v", created, err)
	}
	if !again.Equals(key) {
		t.Error("the second start found another key")
	}
	for path, want := range map[string]fs.FileMode{
		filepath.Dir(dir):            fs.ModeDir | 0o700,
		dir:                          fs.ModeDir | 0o700,
		filepath.Join(dir, FileName): 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %s, want %s", path, info.Mode(), want)
		}
	}
	onlyTheKey(t, dir)
	data, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := crypto.UnmarshalPrivateKey(data)
	if err != nil || !plain.Equals(key) {
		t.Errorf("libp2p reads another key from the file: %v", err)
	}
}

func TestCreateNeverOverwrites(t *testing.T) {
	for _, tt := range []struct {
		name string
		take func(path string) error
	}{
		{"a key", func(path string) error { return Create(path, testKey(t, 1)) }},
		{"an empty file", func(path string) error { return os.WriteFile(path, nil, 0o600) }},
		{"a directory", func(path string) error { return os.Mkdir(path, 0o700) }},
		{"a link to nowhere", func(path string) error { return os.Symlink("nowhere", path) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, FileName)
			if err := tt.take(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(path)
			wantError(t, Create(path, testKey(t, 2)), ErrExists, path, "move it away")
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file has changed")
			}
			onlyTheKey(t, dir)
		})
	}
}

func TestCreateFails(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantError(t, Create(filepath.Join(file, FileName), testKey(t, 1)), syscall.ENOTDIR, file, "--data-dir")
}

func TestLoadChecksTheMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "it's a key")
	if err := Create(path, testKey(t, 1)); err != nil {
		t.Fatal(err)
	}
	for mode, ok := range map[fs.FileMode]bool{
		0o600: true, 0o400: true, 0o700: true,
		0o644: false, 0o640: false, 0o604: false, 0o620: false, 0o602: false, 0o610: false, 0o601: false, 0o666: false,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if ok && err != nil {
			t.Errorf("mode %04o: %v", mode, err)
		}
		if !ok {
			wantError(t, err, ErrPermissions, fmt.Sprintf("%s has mode %04o", path, mode), "chmod 600 '")
		}
	}
	// Through a link it is the key's own mode that counts.
	link := filepath.Join(t.TempDir(), FileName)
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Load(link)
	wantError(t, err, ErrPermissions, link, "chmod 600 "+link)
}

func TestLoadNotThere(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), FileName))
	wantError(t, err, fs.ErrNotExist, FileName, "p2ping key new")
}

// TestDamagedKeysAreKept: what can't be read is refused by every way in, and
// stays as it was.
func TestDamagedKeysAreKept(t *testing.T) {
	good := protobuf(t, testKey(t, 1))
	for name, tt := range map[string]struct {
		data []byte
		hint string
	}{
		"empty":              {nil, "move it away"},
		"text":               {[]byte("hello\n"), "move it away"},
		"tail":               {append(bytes.Clone(good), "\n"...), "move it away"},
		"another's half":     {append(bytes.Clone(good[:36]), protobuf(t, testKey(t, 2))[36:]...), "move it away"},
		"too large":          {make([]byte, maxFile+1), "move it away"},
		"in kubo's format":   {[]byte(kubo(t, testKey(t, 1))), "p2ping key import"},
		"in openssl's (PEM)": {pemOf(t, testKey(t, 1)), "p2ping key import"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, tt.data, tt.hint) })
	}
	for n := range good {
		refused(t, good[:n], "move it away")
	}
}

func TestDamageIsNamed(t *testing.T) {
	good := protobuf(t, testKey(t, 1))
	for n := range good {
		path := filepath.Join(t.TempDir(), FileName)
		if err := os.WriteFile(path, good[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		want := "not a valid private key: it is cut short, or not a private key in libp2p's protobuf"
		if n == 0 {
			want = "not a valid private key: it is empty"
		}
		_, err := Load(path)
		wantError(t, err, ErrDamaged, want, "move it away")
	}
}

// refused fails the test unless a key file of these bytes is refused and kept.
func refused(t *testing.T, data []byte, hint string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	wantError(t, err, ErrDamaged, path, hint)
	_, created, err := LoadOrCreate(dir)
	wantError(t, err, ErrDamaged, path, hint)
	if created {
		t.Error("the key was replaced")
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, data) {
		t.Errorf("the file has changed: %v", err)
	}
	onlyTheKey(t, dir)
}

// TestEveryFlippedBitIsNoticed: no single flipped bit turns a key file into one
// that loads as another key.
func TestEveryFlippedBitIsNoticed(t *testing.T) {
	good := protobuf(t, testKey(t, 1))
	for bit := range 8 * len(good) {
		data := bytes.Clone(good)
		data[bit/8] ^= 1 << (bit % 8)
		if key, err := parseProtobuf(data); err == nil {
			t.Errorf("bit %d: loaded, the same key: %v", bit, key.Equals(testKey(t, 1)))
		}
	}
}

func TestLoadRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(dir)
	wantError(t, err, ErrDamaged, "no regular file", "move it away")

	pipe := filepath.Join(dir, "pipe")
	if err := makePipe(pipe); err != nil {
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip("SKIPPED, a pipe as a key is NOT tested: there are none in this system's files")
		}
		t.Fatal(err)
	}
	_, err = Load(pipe) // must not wait for a writer
	wantError(t, err, ErrDamaged, "no regular file", "move it away")
}

func TestLoadOfAnotherKind(t *testing.T) {
	for kind, key := range otherKinds(t) {
		path := filepath.Join(t.TempDir(), FileName)
		if err := os.WriteFile(path, protobuf(t, key), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		wantError(t, err, ErrNotEd25519, path, "p2ping key new")
		if !strings.Contains(err.Error(), kind) {
			t.Errorf("%v does not say %s", err, kind)
		}
	}
}

func TestConcurrentCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = Create(path, testKey(t, byte(i))) })
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Errorf("%d and %d both created the file", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, ErrExists):
			t.Error(err)
		}
	}
	if winner < 0 {
		t.Fatal("nobody created the file")
	}
	key, err := Load(path)
	if err != nil || !key.Equals(testKey(t, byte(winner))) {
		t.Errorf("the file does not hold the key of the one that created it: %v", err)
	}
	onlyTheKey(t, dir)
}

// TestProcessesStartTogether starts real processes on one directory: one makes
// the key, all have it.
func TestProcessesStartTogether(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	out := make([]string, 6)
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), startedFor+"="+dir)
			b, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, b)
			}
			out[i] = string(b)
		})
	}
	wg.Wait()
	all := strings.Join(out, "")
	id, _, _ := strings.Cut(all, " ")
	if strings.Count(all, id) != len(out) || strings.Count(all, "true") != 1 {
		t.Errorf("they started with\n%s", all)
	}
	onlyTheKey(t, dir)
}

func TestQuote(t *testing.T) {
	for s, want := range map[string]string{
		"":                         "''",
		"/home/a-b/identity.key":   "/home/a-b/identity.key",
		"/home/a b/it's; rm -rf /": `'/home/a b/it'\''s; rm -rf /'`,
	} {
		if got := quote(s); got != want {
			t.Errorf("quote(%q) = %s, want %s", s, got, want)
		}
	}
}

// onlyTheKey fails the test when something was left behind in dir.
func onlyTheKey(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != FileName {
		t.Errorf("the directory holds %v, not the key alone", entries)
	}
}
