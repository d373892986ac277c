"""The dialect of WAHA (WhatsApp HTTP API), with its engines WEBJS, NOWEB, GOWS and WPP."""
