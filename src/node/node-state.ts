/** How far a worker is, for itself and for whoever asks it: people, probes, supervisors. The transitions are those of node/worker-node.ts. */
export type NodeState = 'new' | 'running' | 'stopping' | 'stopped';
