package entry

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// reference reads and writes data with Google's protobuf and entry.proto's
// messages.
type reference struct {
	data, ping protoreflect.MessageDescriptor
}

func newReference(tb testing.TB) reference {
	tb.Helper()
	field := func(name string, num int32, kind descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Name: &name, Number: &num, Type: &kind,
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
	}
	pings := field("pings", dataPings, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE)
	pings.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	pings.TypeName = new("Ping")
	sentAt := field("sent_at", pingSentAt, descriptorpb.FieldDescriptorProto_TYPE_INT64)
	after := field("after", pingAfter, descriptorpb.FieldDescriptorProto_TYPE_SINT64)
	for i, f := range []*descriptorpb.FieldDescriptorProto{sentAt, after} {
		f.Proto3Optional, f.OneofIndex = new(true), new(int32(i))
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("entry.proto"), Syntax: new("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: new("Data"), Field: []*descriptorpb.FieldDescriptorProto{pings}},
			{
				Name: new("Ping"),
				Field: []*descriptorpb.FieldDescriptorProto{
					field("text", pingText, descriptorpb.FieldDescriptorProto_TYPE_STRING), sentAt, after,
				},
				OneofDecl: []*descriptorpb.OneofDescriptorProto{{Name: new("_sent_at")}, {Name: new("_after")}},
			},
		},
	}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return reference{file.Messages().ByName("Data"), file.Messages().ByName("Ping")}
}

func (r reference) field(num protoreflect.FieldNumber) protoreflect.FieldDescriptor {
	return r.ping.Fields().ByNumber(num)
}

// encode encodes valid pings as EncodeData should.
func (r reference) encode(pings []Ping) []byte {
	data := dynamicpb.NewMessage(r.data)
	list := data.Mutable(r.data.Fields().ByNumber(dataPings)).List()
	for i, p := range pings {
		ping := list.AppendMutable().Message()
		ping.Set(r.field(pingText), protoreflect.ValueOfString(p.Text))
		if i == 0 {
			ping.Set(r.field(pingSentAt), protoreflect.ValueOfInt64(p.SentAt))
		} else if after := p.SentAt - pings[i-1].SentAt; after != 0 {
			ping.Set(r.field(pingAfter), protoreflect.ValueOfInt64(after))
		}
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(data)
	if err != nil {
		panic(err) // only a string that is not UTF-8 fails
	}
	return encoded
}

// decode decodes data by entry.proto's words, and checks nothing beyond what
// protobuf does.
func (r reference) decode(data []byte) ([]Ping, error) {
	message := dynamicpb.NewMessage(r.data)
	if err := proto.Unmarshal(data, message); err != nil {
		return nil, err
	}
	list := message.Get(r.data.Fields().ByNumber(dataPings)).List()
	pings := make([]Ping, 0, list.Len())
	var last int64
	for i := range list.Len() {
		ping := list.Get(i).Message()
		if ping.Has(r.field(pingSentAt)) {
			last = ping.Get(r.field(pingSentAt)).Int()
		} else {
			last += ping.Get(r.field(pingAfter)).Int()
		}
		pings = append(pings, Ping{ping.Get(r.field(pingText)).String(), last})
	}
	return pings, nil
}
