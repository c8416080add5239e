/**
 * What has happened to a cluster, for people: told from what its status was and is (changes.ts), and kept for a while in
 * a file (event-book.ts). The categories are those of Amazon RDS's events, where it has one.
 */
export { changesBetween, type ClusterSight, EventWatch, type HealedSight } from "./changes.ts";
export {
  type ClusterEvent,
  EventBook,
  eventSchema,
  eventsMax,
  eventsUsual,
  parseEvents,
} from "./event-book.ts";
