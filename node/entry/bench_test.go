package entry

import (
	"fmt"
	"testing"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"google.golang.org/protobuf/proto"
)

func BenchmarkParse(b *testing.B) {
	eachSize(b, func(b *testing.B, e *Entry) {
		b.Helper()
		for b.Loop() {
			if _, err := Parse(e.Raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkParseTrusted(b *testing.B) {
	eachSize(b, func(b *testing.B, e *Entry) {
		b.Helper()
		for b.Loop() {
			if _, err := ParseTrusted(e.Raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkFromMessage(b *testing.B) {
	eachSize(b, func(b *testing.B, e *Entry) {
		b.Helper()
		var m pb.Message
		if err := proto.Unmarshal(e.Raw, &m); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := FromMessage(&m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEncodeData(b *testing.B) {
	eachSize(b, func(b *testing.B, e *Entry) {
		b.Helper()
		for b.Loop() {
			if _, err := EncodeData(e.Pings); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// eachSize runs a benchmark with entries of one ping and of as many as go in.
func eachSize(b *testing.B, f func(*testing.B, *Entry)) {
	b.Helper()
	for _, n := range []int{1, MaxPings} {
		e := sign(b, many(n)...)
		b.Run(fmt.Sprintf("pings=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(e.Raw)))
			f(b, e)
		})
	}
}
