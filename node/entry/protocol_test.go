package entry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// protocolPings are the pings of PROTOCOL.md's example.
func protocolPings() []Ping { return []Ping{{"hello", testTime}, {"é", testTime + 1}} }

// TestProtocolExample holds the example in PROTOCOL.md to what the code does.
// When it fails it prints what belongs there.
func TestProtocolExample(t *testing.T) {
	e := sign(t, protocolPings()...)
	var b strings.Builder
	names := []string{"from", "data", "seqno", "topic", "signature"}
	fmt.Fprint(&b, "    entry:\n")
	for i, part := range split(t, e.Raw) {
		fmt.Fprintf(&b, "      %s\n%s", names[i], lines(part))
	}
	fmt.Fprintf(&b, "    author: %s\n", e.Author)
	fmt.Fprintf(&b, "    time:   %d\n", e.Time)
	fmt.Fprintf(&b, "    id:     %s\n", e.ID)
	fmt.Fprintf(&b, "    digest of a ledger with this entry alone:\n            %x\n", sha256.Sum256([]byte(e.ID.String()+"\n")))
	if !strings.Contains(protocol(t), b.String()) {
		t.Errorf("PROTOCOL.md does not show this example:\n%s", b.String())
	}
}

// TestProtocolPython runs the Python that PROTOCOL.md shows.
func TestProtocolPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("SKIPPED: no python3 here, so nobody checked that PROTOCOL.md's Python writes an entry's data")
	}
	_, rest, ok := strings.Cut(protocol(t), "```python\n")
	program, _, closed := strings.Cut(rest, "```\n")
	if !ok || !closed {
		t.Fatal("PROTOCOL.md shows no Python")
	}
	pings := append(protocolPings(), Ping{strings.Repeat("x", MaxText), maxSentAt}, Ping{"1970", 0})
	var list strings.Builder
	for _, p := range pings {
		fmt.Fprintf(&list, "(bytes.fromhex('%x').decode(), %d),", p.Text, p.SentAt)
	}
	program += "print(data([" + list.String() + "]).hex())\n"
	out, err := exec.CommandContext(t.Context(), python, "-c", program).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := hex.DecodeString(string(bytes.TrimSpace(out)))
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got, err := DecodeData(data)
	if err != nil {
		t.Fatal(err)
	}
	samePings(t, got, pings)
	if want := encodePlain(pings); !bytes.Equal(data, want) {
		t.Errorf("Python writes %x, protobuf %x", data, want)
	}
}

// TestProtocolBounds looks for every bound in PROTOCOL.md's words.
func TestProtocolBounds(t *testing.T) {
	text := strings.Join(strings.Fields(protocol(t)), " ")
	for _, want := range []string{
		fmt.Sprintf("at most %s bytes, no field twice", thousands(MaxRaw)),
		fmt.Sprintf("The data is at most %s bytes and holds 1 to %s pings", thousands(MaxData), thousands(MaxPings)),
		fmt.Sprintf("A text is 1 to %s bytes of valid UTF-8", thousands(MaxText)),
		fmt.Sprintf("1 to %d bytes of valid UTF-8 |", MaxTopic),
		fmt.Sprintf("0 to %d.", int64(maxSentAt)),
		fmt.Sprintf("`00 24 08 01 12 20` and the %d bytes", authorLen-len(authorPrefix)),
		fmt.Sprintf("the %d bytes `%s` followed", len(signPrefix), signPrefix),
		fmt.Sprintf("`time > now + %s`", thousands(MaxFuture.Milliseconds())),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("PROTOCOL.md does not say %q", want)
		}
	}
	if got := fmt.Sprintf("% x", authorPrefix); got != "00 24 08 01 12 20" {
		t.Errorf("an author begins with %s", got)
	}
}

func protocol(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// lines writes bytes in hexadecimal, 32 to an indented line.
func lines(b []byte) string {
	var s strings.Builder
	for len(b) > 0 {
		n := min(32, len(b))
		fmt.Fprintf(&s, "        %x\n", b[:n])
		b = b[n:]
	}
	return s.String()
}

// thousands writes n with commas.
func thousands[N int | int64](n N) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
