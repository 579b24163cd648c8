package api

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for s, want := range map[string]time.Duration{
		"0": 0, "10m": 10 * time.Minute, "1.5h": 90 * time.Minute, "0d": 0,
		"7d": 7 * day, "2w": 14 * day, "1d12h": 36 * time.Hour, "106751d": 106751 * day,
	} {
		if got, err := ParseDuration(s); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", "d", "w", "7", "-1h", "-7d", "+7d", "1d-1h", "1d+1h", "1w2d", "1.5d", "d1", "1d ", "a week",
		"106752d", "15251w", "106751d1000h", "9223372036854775808d",
	} {
		if got, err := ParseDuration(s); err == nil {
			t.Errorf("%q: got %v, want an error", s, got)
		}
	}
}
