package entry

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

func TestEncodeData(t *testing.T) {
	got, err := EncodeData([]Ping{{"hé", 300}, {"b", 0}, {"c", 0}, {"d", 64}})
	if err != nil {
		t.Fatal(err)
	}
	want := "\x0a\x08\x0a\x03h\xc3\xa9\x10\xac\x02" + "\x0a\x06\x0a\x01b\x18\xd7\x04" + "\x0a\x03\x0a\x01c" + "\x0a\x06\x0a\x01d\x18\x80\x01"
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
		{"1970 and 9999", []Ping{{"x", 0}, {"x", maxSentAt}, {"x", 0}}, ""},
		{"1970 and 1969", []Ping{{"x", 0}, {"x", -1}}, "years 1970 to 9999"},
		{"9999 and 10000", []Ping{{"x", maxSentAt}, {"x", maxSentAt + 1}}, "years 1970 to 9999"},
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
			if !bytes.Equal(data, encodeUnchecked(tt.pings)) || !bytes.Equal(data, newReference(t).encode(tt.pings)) {
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
		{"unknown field within", "\x0a\x08" + ping + "\x22\x01y", ""},
		{"unknown fixed widths within", "\x0a\x13" + ping + "\x25\x01\x02\x03\x04\x21\x01\x02\x03\x04\x05\x06\x07\x08", ""},
		{"the highest field number", "\x0a\x05" + ping + "\xf8\xff\xff\xff\x0f\x00", ""},
		{"tag of 10 bytes", "\x8a\x80\x80\x80\x80\x80\x80\x80\x80\x00\x05" + ping, ""},
		{"empty", "", "0 pings"},
		{"only unknown fields", "\x12\x01x", "0 pings"},
		{"empty ping", "\x0a\x00", "no time of its own"},
		{"no text", "\x0a\x02\x10\x07", "without a text"},
		{"text twice", "\x0a\x08\x0a\x01x" + ping, "field 1 twice"},
		{"time twice", "\x0a\x07" + ping + "\x10\x07", "field 2 twice"},
		{"ping as varint", "\x08\x01", "wire type 0, not 2"},
		{"text as varint", "\x0a\x02\x08\x01", "wire type 0, not 2"},
		{"time as bytes", "\x0a\x06\x0a\x01x\x12\x01x", "wire type 2, not 0"},
		{"no time", "\x0a\x03\x0a\x01x", "no time of its own"},
		{"first after nothing", "\x0a\x05\x0a\x01x\x18\x0e", "no time of its own"},
		{"two times", "\x0a\x07" + ping + "\x18\x0e", "a time of its own and one after"},
		{"two times, one zero", "\x0a\x07" + ping + "\x18\x00", "a time of its own and one after"},
		{"after as bytes", "\x0a\x06\x0a\x01x\x1a\x01x", "wire type 2, not 0"},
		{"after twice", "\x0a\x07\x0a\x01x\x18\x02\x18\x02", "field 3 twice"},
		{"group", "\x0a\x05" + ping + "\x13\x14", "wire type 3"},
		{"group within", "\x0a\x07" + ping + "\x23\x24", "wire type 3"},
		{"field number 0", "\x02\x00", "invalid field number"},
		{"field number 2^29", "\x80\x80\x80\x80\x10\x00", "field number 536870912"},
		{"wire type 7", "\x0a\x05" + ping + "\x17", "wire type 7"},
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

// TestDecodeTimes reads a second ping, "y", after one at 7.
func TestDecodeTimes(t *testing.T) {
	const first = "\x0a\x05\x0a\x01x\x10\x07"
	for _, tt := range []struct {
		name, fields string
		want         int64
		err          string // "" for none
	}{
		{"neither", "", 7, ""},
		{"no later", "\x18\x00", 7, ""},
		{"later", "\x18\x02", 8, ""},
		{"a long varint", "\x18\x82\x00", 8, ""},
		{"earlier", "\x18\x01", 6, ""},
		{"1970", "\x18\x0d", 0, ""},
		{"1969", "\x18\x0f", 0, "years 1970 to 9999"},
		{"9999", string(protowire.AppendVarint([]byte("\x18"), protowire.EncodeZigZag(maxSentAt-7))), maxSentAt, ""},
		{"10000", string(protowire.AppendVarint([]byte("\x18"), protowire.EncodeZigZag(maxSentAt-6))), 0, "years 1970 to 9999"},
		{"latest", "\x18\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0, "years 1970 to 9999"},
		{"earliest", "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0, "years 1970 to 9999"},
		{"its own", "\x10\x05", 5, ""},
		{"its own, 0", "\x10\x00", 0, ""},
		{"both", "\x10\x05\x18\x02", 0, "a time of its own and one after"},
		{"both, the other way round", "\x18\x00\x10\x00", 0, "a time of its own and one after"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ping := "\x0a\x01y" + tt.fields
			got, err := DecodeData([]byte(first + "\x0a" + string(rune(len(ping))) + ping))
			if tt.err != "" {
				wantInvalid(t, err, tt.err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			samePings(t, got, []Ping{{"x", 7}, {"y", tt.want}})
		})
	}
}

func TestMaxEncodedSizeBounds(t *testing.T) {
	long := strings.Repeat("x", MaxText)
	for _, pings := range [][]Ping{
		{{"x", 0}},
		{{"x", maxSentAt}},
		{{long, maxSentAt}},
		{{long, 0}, {long, maxSentAt}, {long, 0}, {long, 0}},
	} {
		most := 0
		for _, p := range pings {
			most += p.MaxEncodedSize()
		}
		for _, got := range []int{len(encodeUnchecked(pings)), len(encodePlain(pings))} {
			if got > most {
				t.Errorf("%d pings took %d bytes, over the bound %d", len(pings), got, most)
			}
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

// encodeUnchecked encodes pings as [EncodeData] should, valid or not.
func encodeUnchecked(pings []Ping) []byte {
	return encodeTimes(pings, func(ping []byte, i int) []byte {
		if i == 0 {
			return appendVarint(ping, pingSentAt, uint64(pings[0].SentAt))
		}
		if after := pings[i].SentAt - pings[i-1].SentAt; after != 0 {
			return appendVarint(ping, pingAfter, protowire.EncodeZigZag(after))
		}
		return ping
	})
}

// encodePlain encodes pings, each with its own time, as by hand.
func encodePlain(pings []Ping) []byte {
	return encodeTimes(pings, func(ping []byte, i int) []byte {
		return appendVarint(ping, pingSentAt, uint64(pings[i].SentAt))
	})
}

// encodeTimes encodes pings with the times that timed appends to them.
func encodeTimes(pings []Ping, timed func(ping []byte, i int) []byte) []byte {
	var data []byte
	for i, p := range pings {
		ping := protowire.AppendTag(nil, pingText, protowire.BytesType)
		ping = timed(protowire.AppendString(ping, p.Text), i)
		data = protowire.AppendTag(data, dataPings, protowire.BytesType)
		data = protowire.AppendBytes(data, ping)
	}
	return data
}

func appendVarint(b []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}
