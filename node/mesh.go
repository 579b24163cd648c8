package node

import (
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
)

// What misbehaviour costs in GossipSub's score, next to the at most
// scoreMissing that a peer has for being wanted.
const (
	// decayInterval is how often counts of misbehaviour shrink, to decay times
	// what they were: to a half in about 30 s.
	decayInterval = 10 * time.Second
	decay         = 0.8
	// forgotten is the count below which it is 0.
	forgotten = 0.01
	// invalidWeight is for the square of the invalid messages a peer has sent:
	// one takes it out of the mesh, two if it is wanted.
	invalidWeight = -0.3
	// penaltyWeight is for the square of what GossipSub itself blames a peer for
	// (grafting again too early, announcing what it doesn't send) beyond
	// penaltyFree, which a restart and a congested line are not over with.
	penaltyWeight = -0.1
	penaltyFree   = 10
	// retainScore is how long GossipSub remembers those who misbehaved and left.
	retainScore = 10 * time.Minute
	// recordsTTL is how long GossipSub keeps a record of each message for the
	// score, some 300 bytes; it looks every minute. It is for blaming all who
	// bring the same invalid message, which takes no longer than they take.
	recordsTTL = 5 * time.Second
)

// Scores below which a peer is let down, in invalid messages: no gossip of what
// the mesh has brought at 10; nothing we publish at 100; not even listened to
// at 300, which takes 7 a second. A peer without a validator for our topic,
// such as kubo, passes on what others have it pass on, and does not catch up.
const (
	gossipThreshold   = invalidWeight * 10 * 10
	publishThreshold  = invalidWeight * 100 * 100
	graylistThreshold = invalidWeight * 300 * 300
	// noPeerExchange is more than any peer has: we take no addresses with a
	// PRUNE, as discovery has ways of its own.
	noPeerExchange = 1000
)

// meshOptions make GossipSub form the mesh by score.
func meshOptions(topic string, score func(peer.ID) float64) []pubsub.Option {
	params := pubsub.DefaultGossipSubParams()
	params.D, params.Dscore = meshDegree, meshDegree
	params.Dlo, params.Dhi, params.Dout = meshLow, meshHigh, meshOut
	params.OpportunisticGraftTicks = graftTicks
	params.OpportunisticGraftPeers = graftPeers
	return []pubsub.Option{
		pubsub.WithGossipSubParams(params),
		pubsub.WithPeerScore(scoreParams(topic, score), &pubsub.PeerScoreThresholds{
			GossipThreshold:             gossipThreshold,
			PublishThreshold:            publishThreshold,
			GraylistThreshold:           graylistThreshold,
			AcceptPXThreshold:           noPeerExchange,
			OpportunisticGraftThreshold: scoreGraft,
		}),
	}
}

// scoreParams are distance and misbehaviour, and nothing else. A quiet topic
// must not cost anybody (no mesh message deliveries), nor many nodes behind one
// address (no colocation). Time in the mesh and first deliveries would reward
// being there with staying there.
func scoreParams(topic string, score func(peer.ID) float64) *pubsub.PeerScoreParams {
	return &pubsub.PeerScoreParams{
		AppSpecificScore:          score,
		AppSpecificWeight:         1,
		BehaviourPenaltyWeight:    penaltyWeight,
		BehaviourPenaltyThreshold: penaltyFree,
		BehaviourPenaltyDecay:     decay,
		DecayInterval:             decayInterval,
		DecayToZero:               forgotten,
		RetainScore:               retainScore,
		SeenMsgTTL:                recordsTTL,
		Topics: map[string]*pubsub.TopicScoreParams{topic: {
			SkipAtomicValidation:           true,
			TopicWeight:                    1,
			TimeInMeshQuantum:              time.Second, // divides, whatever it weighs
			InvalidMessageDeliveriesWeight: invalidWeight,
			InvalidMessageDeliveriesDecay:  decay,
		}},
	}
}
