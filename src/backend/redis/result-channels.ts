/**
 * Which tasks' channels are listened to: those that somebody waits for, and no other.
 *
 * Owns the subscriptions and who waits. All calls of one turn of the event loop become one SUBSCRIBE and one UNSUBSCRIBE. The order
 * that misses no result: subscribe, then look whether it is there already; after every reconnection the same again for
 * everybody who waits (one MGET for many).
 * Documents are passed on to whoever waits and kept nowhere, so that memory is bounded by the number of waits.
 * Source: protocol notes, redis.md §5.3.
 */
