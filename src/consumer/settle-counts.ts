/** What became of tasks since the start, for statistics. Written by consumer/settle.ts only. */
export class SettleCounts {
  succeeded = 0;
  failed = 0;
  retried = 0;
  rejected = 0;
  ignored = 0;
  revoked = 0;
  lost = 0;
  /** Given back to the broker unstarted. */
  returned = 0;
}
