import { expect, test } from "vitest";
import { allowedTransitions, canTransition, lifecycleStates, parseState } from "../src/lifecycle.ts";

test("the graph is exactly the agreed one", () => {
  expect(Object.fromEntries(lifecycleStates.map((state) => [state, allowedTransitions(state).join(" ")]))).toEqual({
    Draft: "PendingApproval Archived",
    PendingApproval: "Approved Rejected Draft",
    Approved: "Running Ramping Draft Archived",
    Running: "Ramping Paused RolledBack Archived",
    Ramping: "Running Paused RolledBack Archived",
    Paused: "Running Ramping RolledBack Archived",
    RolledBack: "Draft Archived",
    Rejected: "Draft Archived",
    Archived: "",
  });
});

test("no state leads to itself", () => {
  expect(lifecycleStates.filter((state) => canTransition(state, state))).toEqual([]);
});

test("state names are read in any letter case, and nothing else is a state", () => {
  expect(parseState("PENDINGAPPROVAL")).toBe("PendingApproval");
  expect(["", "run", "__proto__", "constructor", "Draft "].map(parseState)).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});
