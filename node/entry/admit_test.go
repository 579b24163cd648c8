package entry

import (
	"errors"
	"testing"
	"time"
)

func TestAdmit(t *testing.T) {
	e := sign(t, Ping{"first", testTime}, Ping{"last, and late", maxSentAt})
	sent := time.UnixMilli(e.Time)
	for _, tt := range []struct {
		name  string
		topic string
		now   time.Time
		floor int64
		want  error
	}{
		{"now", testTopic, sent, 0, nil},
		{"long ago", testTopic, sent.AddDate(100, 0, 0), 0, nil},
		{"another topic", "p2ping2", sent, 0, ErrTopic},
		{"24 h ahead", testTopic, sent.Add(-24 * time.Hour), 0, nil},
		{"24 h and 1 ms ahead", testTopic, sent.Add(-24*time.Hour - time.Millisecond), 0, ErrNotYet},
		{"at the floor", testTopic, sent, e.Time, nil},
		{"just below the floor", testTopic, sent, e.Time + 1, ErrBelowFloor},
		{"topic before time", "", time.UnixMilli(0), e.Time + 1, ErrTopic},
		{"floor before clock", testTopic, time.UnixMilli(0), e.Time + 1, ErrBelowFloor},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := e.Admit(tt.topic, tt.now, tt.floor); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}
