"""Pure building blocks: identifiers, money, prices, catalogue, decisions. Standard library only."""
