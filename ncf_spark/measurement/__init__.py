"""What a campaign brought: its arms beside each other, by what their users did afterwards."""
