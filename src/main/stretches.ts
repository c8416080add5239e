import { openAddressList } from "../io/index.ts";

/** `10.0.0.0/8, fd00::/8`; nothing at all is nobody. Raises 22023 for what is none. */
export function stretchesIn(text: string): string[] {
  const stretches = text
    .split(",")
    .map((one) => one.trim())
    .filter((one) => one !== "");
  openAddressList(stretches);
  return stretches;
}
