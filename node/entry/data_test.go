package entry

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

func TestEncodeData(t *testing.T) {
	got, err := EncodeData([]Ping{{"hé", 300}, {"b", 0}})
	if err != nil {
		t.Fatal(err)
	}
	want := "\x0a\x08\x0a\x03h\xc3\xa9\x10\xac\x02" + "\x0a\x05\x0a\x01b\x10\x00"
	if string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestBounds walks the edges of what an entry can hold, in both directions.
func TestBounds(t *testing.T) {
	full := fullData(t)
	for _, tt := range []struct {
		name  string
		pings []Ping
		want  string // "" for valid
	}{
		{"no pings", nil, "0 pings"},
		{"one", []Ping{{"x", testTime}}, ""},
		{"1000", many(MaxPings), ""},
		{"1001", many(MaxPings + 1), "1001 pings"},
		{"no text", []Ping{{"", testTime}}, "without a text"},
		{"4096 bytes", []Ping{{strings.Repeat("x", MaxText), testTime}}, ""},
		{"4097 bytes", []Ping{{strings.Repeat("x", MaxText+1), testTime}}, "text of 4097"},
		{"4096 bytes, fewer characters", []Ping{{strings.Repeat("é", MaxText/2), testTime}}, ""},
		{"not UTF-8", []Ping{{"\xff", testTime}}, "not valid UTF-8"},
		{"surrogate", []Ping{{"\xed\xa0\x80", testTime}}, "not valid UTF-8"},
		{"NUL", []Ping{{"\x00", testTime}}, ""},
		{"second is bad", []Ping{{"x", testTime}, {"", testTime}}, "without a text"},
		{"1970", []Ping{{"x", 0}}, ""},
		{"1969", []Ping{{"x", -1}}, "years 1970 to 9999"},
		{"9999", []Ping{{"x", maxSentAt}}, ""},
		{"10000", []Ping{{"x", maxSentAt + 1}}, "years 1970 to 9999"},
		{"64 KiB", full, ""},
		{"64 KiB and 1", append(full[:len(full)-1:len(full)-1],
			Ping{full[len(full)-1].Text + "x", full[len(full)-1].SentAt}), "65537 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, err := EncodeData(tt.pings)
			if tt.want != "" {
				wantInvalid(t, err, tt.want)
				_, err = DecodeData(encodeUnchecked(tt.pings))
				wantInvalid(t, err, tt.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(data, encodeUnchecked(tt.pings)) {
				t.Error("the data is encoded otherwise than protobuf does")
			}
			got, err := DecodeData(data)
			if err != nil {
				t.Fatal(err)
			}
			samePings(t, got, tt.pings)
		})
	}
}

func TestDecodeData(t *testing.T) {
	const ping = "\x0a\x01x\x10\x07" // "x" at 7
	for _, tt := range []struct {
		name, data string
		want       string // "" for one ping, "x" at 7
	}{
		{"plain", "\x0a\x05" + ping, ""},
		{"time first", "\x0a\x05\x10\x07\x0a\x01x", ""},
		{"long varints", "\x0a\x85\x00" + ping, ""},
		{"unknown varint beside", "\x10\x01\x0a\x05" + ping, ""},
		{"unknown field within", "\x0a\x08" + ping + "\x1a\x01y", ""},
		{"unknown fixed widths within", "\x0a\x13" + ping + "\x1d\x01\x02\x03\x04\x21\x01\x02\x03\x04\x05\x06\x07\x08", ""},
		{"empty", "", "0 pings"},
		{"only unknown fields", "\x12\x01x", "0 pings"},
		{"empty ping", "\x0a\x00", "without a text"},
		{"text twice", "\x0a\x08\x0a\x01x" + ping, "field 1 twice"},
		{"time twice", "\x0a\x07" + ping + "\x10\x07", "field 2 twice"},
		{"ping as varint", "\x08\x01", "wire type 0, not 2"},
		{"text as varint", "\x0a\x02\x08\x01", "wire type 0, not 2"},
		{"time as bytes", "\x0a\x06\x0a\x01x\x12\x01x", "wire type 2, not 0"},
		{"group", "\x0a\x05" + ping + "\x13\x14", "wire type 3"},
		{"group within", "\x0a\x07" + ping + "\x1b\x1c", "wire type 3"},
		{"field number 0", "\x02\x00", "invalid field number"},
		{"cut off", "\x0a\x05" + ping[:4], "unexpected EOF"},
		{"length of 2^63", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "unexpected EOF"},
		{"varint of 11 bytes", "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "variable length integer overflow"},
		{"negative time", "\x0a\x0e\x0a\x01x\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "years 1970 to 9999"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeData([]byte(tt.data))
			if tt.want != "" {
				wantInvalid(t, err, tt.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			samePings(t, got, []Ping{{"x", 7}})
		})
	}
}

func TestMaxEncodedSizeBounds(t *testing.T) {
	for _, p := range []Ping{{"x", 0}, {"x", maxSentAt}, {strings.Repeat("x", MaxText), maxSentAt}} {
		if got := len(encodeUnchecked([]Ping{p})); got > p.MaxEncodedSize() {
			t.Errorf("a text of %d bytes took %d, over the bound %d", len(p.Text), got, p.MaxEncodedSize())
		}
	}
}

func TestPingTime(t *testing.T) {
	got := Ping{"x", testTime}.Time().Format(time.RFC3339Nano)
	if want := "2026-01-02T03:04:05.678901Z"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// many returns n small pings.
func many(n int) []Ping {
	pings := make([]Ping, n)
	for i := range pings {
		pings[i] = Ping{"x", testTime + int64(i)}
	}
	return pings
}

// fullData returns pings whose encoding is exactly MaxData bytes long.
func fullData(tb testing.TB) []Ping {
	tb.Helper()
	var pings []Ping
	for range 15 {
		pings = append(pings, Ping{strings.Repeat("x", MaxText), testTime})
	}
	last := Ping{strings.Repeat("x", 1000), testTime}
	rest := MaxData - len(encodeUnchecked(append(pings, last)))
	last.Text += strings.Repeat("x", rest)
	pings = append(pings, last)
	if got := len(encodeUnchecked(pings)); got != MaxData {
		tb.Fatalf("the data is %d bytes long, not %d", got, MaxData)
	}
	return pings
}

// encodeUnchecked encodes pings as protobuf's rules say, valid or not.
func encodeUnchecked(pings []Ping) []byte {
	var data []byte
	for _, p := range pings {
		var ping []byte
		ping = protowire.AppendTag(ping, pingText, protowire.BytesType)
		ping = protowire.AppendString(ping, p.Text)
		ping = protowire.AppendTag(ping, pingSentAt, protowire.VarintType)
		ping = protowire.AppendVarint(ping, uint64(p.SentAt))
		data = protowire.AppendTag(data, dataPings, protowire.BytesType)
		data = protowire.AppendBytes(data, ping)
	}
	return data
}
