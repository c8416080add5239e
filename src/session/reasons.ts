/** Why a session keeps its connection until it has been asked what it has. */
export const unread = "what its last statements changed is not known yet";
/** Why one that listens does. */
export const listening = "it listens";
