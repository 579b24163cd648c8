package ledger

import (
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// dirty returns how many pages of a file the system has not begun to write to
// the disk, or is writing. It skips the test where the system does not say.
func dirty(t *testing.T, path string) uint64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const cachestat = 451
	var all struct{ offset, length uint64 }
	var got struct{ cached, dirty, writing, evicted, recently uint64 }
	if _, _, err := syscall.Syscall6(cachestat, f.Fd(), uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&got)), 0, 0, 0); err != 0 {
		t.Skipf("SKIPPED, what is on the disk is not tested: %v", err)
	}
	return got.dirty + got.writing
}

// What a process that was killed had written, and not waited for, is on the
// disk before anybody is told of it, or anything is written over what was there
// before.
func TestOpenMakesSureOfWhatItFinds(t *testing.T) {
	l, _ := journalled(t)
	e := fakes(t, 10, 1000)
	add(t, l, e...)
	path := copied(t, l.path)
	for _, suffix := range []string{"", journalSuffix} {
		if dirty(t, path+suffix) == 0 {
			t.Skip("SKIPPED, what is on the disk is not tested: the file system does not say")
		}
	}
	again := open(t, Config{Path: path})
	for _, suffix := range []string{"", journalSuffix} {
		if n := dirty(t, path+suffix); n > 0 {
			t.Errorf("%d pages of ledger%s are not on the disk", n, suffix)
		}
	}
	if got := arrivals(t, again, 100); len(got) != len(e)+1 {
		t.Errorf("got %d", len(got))
	}
}
