package main

import "testing"

func TestParseNewPing(t *testing.T) {
	for in, good := range map[string]bool{
		`{"text":"a"}`:                       true,
		" {\"text\":\"a\",\"key\":\"k\"} \r": true,
		`{"text":"a"}{"text":"b"}`:           false, // b would be lost
		`{"text":"a"} x`:                     false,
		`{"text":""}`:                        false,
		`{"txt":"a"}`:                        false,
		`"a"`:                                false,
	} {
		if ping, err := parseNewPing([]byte(in)); (err == nil) != good || good && ping.Text != "a" {
			t.Errorf("%q: %+v, %v", in, ping, err)
		}
	}
}
