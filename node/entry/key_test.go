package entry

import (
	"strings"
	"testing"
)

func TestParseID(t *testing.T) {
	id := sign(t, Ping{"hello", testTime}).ID
	got, err := ParseID(id.String())
	if err != nil || got != id {
		t.Errorf("ParseID(%q) = %s, %v", id, got, err)
	}
	for _, s := range []string{"", id.String()[1:], id.String() + "0", strings.Repeat("x", 64), strings.Repeat("é", 32)} {
		if _, err := ParseID(s); err == nil {
			t.Errorf("ParseID(%q) succeeded", s)
		}
	}
}

func TestDecodeKey(t *testing.T) {
	for _, k := range []Key{{}, {Time: testTime, ID: ID{31: 1}}, LastKey()} {
		b := k.Append(nil)
		if len(b) != KeySize {
			t.Errorf("%v takes %d bytes, not %d", k, len(b), KeySize)
		}
		if got, err := DecodeKey(b); err != nil || got != k {
			t.Errorf("DecodeKey(%x) = %v, %v, want %v", b, got, err, k)
		}
	}
	for _, tt := range []struct {
		name string
		key  []byte
		want string
	}{
		{"empty", nil, "key of 0 bytes"},
		{"short", make([]byte, KeySize-1), "key of 39 bytes"},
		{"long", make([]byte, KeySize+1), "key of 41 bytes"},
		{"negative", append([]byte{0x80}, make([]byte, KeySize-1)...), "before 1970"},
	} {
		_, err := DecodeKey(tt.key)
		wantInvalid(t, err, tt.want)
	}
}

func TestLastKeyIsAboveEveryEntry(t *testing.T) {
	if e := sign(t, Ping{"x", maxSentAt}); e.Key().Compare(LastKey()) >= 0 {
		t.Errorf("%v is not below LastKey", e.Key())
	}
}
